"""Colors that people with color blindness tell apart (Okabe and Ito), and what each means on every dashboard."""

GREEN = "#009E73"
RED = "#D55E00"
ORANGE = "#E69F00"
BLUE = "#0072B2"
SKY = "#56B4E9"
PINK = "#CC79A7"
YELLOW = "#F0E442"
GRAY = "#8E8E8E"

# One color a word, so that `used` or `failed` looks the same wherever it is drawn.
WORDS = {
    # connections
    "used": BLUE,
    "idle": SKY,
    "overflow": ORANGE,
    "waiting": ORANGE,
    "maximum": GRAY,
    "timeouts": RED,
    "opened": GREEN,
    # quantiles
    "p50": SKY,
    "p95": BLUE,
    "p99": ORANGE,
    # what found a stale connection, and the retry's outcome
    "pre_ping": SKY,
    "pool_invalidation": BLUE,
    "statement": RED,
    "success": GREEN,
    "failure": ORANGE,
    # kinds of leaks
    "held_at_job_end": BLUE,
    "held_at_request_end": SKY,
    "reclaimed_by_gc": PINK,
    "over_threshold": ORANGE,
    "died_with_process": RED,
    "recovered": GREEN,
    # jobs
    "finished": GREEN,
    "failed": RED,
    "retried": ORANGE,
    "stopped": YELLOW,
    "canceled": GRAY,
    "killed": PINK,
    "exited": BLUE,
    "queued": SKY,
    "started": BLUE,
    "deferred": YELLOW,
    "scheduled": PINK,
    "busy": BLUE,
    "suspended": ORANGE,
    # answers
    "2xx": GREEN,
    "3xx": SKY,
    "4xx": ORANGE,
    "5xx": RED,
    # forwarded hops
    "expected": GREEN,
    "missing": RED,
    "fewer": ORANGE,
    "more": PINK,
    # segments
    "live": BLUE,
    "free": SKY,
    "limit": RED,
}
