"""`ullage doctor`: say what is hooked in the processes here and what not and why, without changing any of them."""

from ullage.doctor.report import Report, run

__all__ = ["Report", "run"]
