"""`rq` with Sentry in the worker."""

import os
import sys

import sentry_sdk
from rq.cli import main

sentry_sdk.init(dsn=os.environ["SENTRY_DSN"], traces_sample_rate=1.0)
sys.exit(main())
