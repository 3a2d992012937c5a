"""Names that the dashboards and their tests share; nothing here needs the SDK."""

# The names in chart/monitoring/rules; a test compares.
ALERTS = (
    "CheckoutWaitBudgetBurnFast",
    "CheckoutWaitBudgetBurnSlow",
    "CheckoutWaitHigh",
    "ConnectionBudgetExceeded",
    "DevelopmentServer",
    "ExporterDown",
    "ExporterMissing",
    "ExporterPartial",
    "FlaskAppBuiltInJob",
    "ForwardedHopsUnexpected",
    "JobWaitBudgetBurnFast",
    "JobWaitBudgetBurnSlow",
    "JobsFailing",
    "PoolExhausted",
    "PoolRequestsWaiting",
    "PoolUtilizationHigh",
    "PoolWithoutPrePingOrRecycle",
    "ProbeNotInstalled",
    "QueueLatencyHigh",
    "SchedulerDown",
    "SeriesDropped",
    "SessionHeldTooLong",
    "SessionLeak",
    "StaleConnectionErrors",
    "StaleConnectionRetriesHigh",
    "WorkHorseKilled",
    "WorkersGone",
)

# Where the runbooks are, one page an alert; the chart replaces it by monitoring.rules.runbookUrlPrefix.
RUNBOOKS = "https://github.com/ullage/ullage/blob/main/docs/runbooks/"
# As it is in a link: `raw`, so that Grafana does not escape the address.
RUNBOOK_LINK = "${runbooks:raw}"
