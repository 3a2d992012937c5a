"""The shop with OpenTelemetry set up by a program, as its documentation has it."""

from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
SQLAlchemyInstrumentor().instrument()
FlaskInstrumentor().instrument()

from shop import create_app  # noqa: E402 - what is imported from now on is instrumented

app = create_app()
