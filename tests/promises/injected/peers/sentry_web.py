"""The shop as Sentry's documentation has an application: `init` before anything else."""

import os

import sentry_sdk

sentry_sdk.init(dsn=os.environ["SENTRY_DSN"], traces_sample_rate=1.0)

from shop import create_app  # noqa: E402 - see above

app = create_app()
