"""Workers of the application's own: they keep a book of what they did, and release the session after each job."""

from rq import SimpleWorker, Worker

from billing.database import Session


class Bookkeeping:
    """What is added to RQ's workers."""

    def perform_job(self, job, queue):
        """Perform a job, and release what it left in the session."""
        self.log.info("book: begin %s", job.id)
        try:
            return super().perform_job(job, queue)
        finally:
            Session.remove()
            self.log.info("book: end %s", job.id)

    def handle_exception(self, job, *exc_info):
        """Note a failure before RQ's own handlers see it."""
        self.log.error("book: %s failed with %s", job.id, exc_info[0].__name__)
        return super().handle_exception(job, *exc_info)


class BillingWorker(Bookkeeping, Worker):
    """Forks for each job."""


class BillingSimpleWorker(Bookkeeping, SimpleWorker):
    """Performs jobs in its own process."""
