"""A program that uses OpenTelemetry and pushes: the URLs of OpenIAP and of a collector."""

import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from worker import sync

url, collector = sys.argv[1:]
provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(collector, insecure=True)))
trace.set_tracer_provider(provider)
settings = {"url": url, "username": "tester", "password": "secret", "client": "native"}
with sync.connect(**settings) as openiap, trace.get_tracer("shop").start_as_current_span("order"):
    sys.stdout.write(openiap.push("first", {"n": 1}, headers={"order": "4711"}).id)
provider.shutdown()
