"""KEDA's side of the external scaler: its messages by its numbers, whatever this project's text of
them says."""

from types import TracebackType
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

TEXT, TRUTH, WHOLE, DOUBLE, MESSAGE = 9, 8, 3, 1, 11
"""Types of fields, as protobuf numbers them."""
MESSAGES: dict[str, list[tuple[str, int, int, str]]] = {
    "ScaledObjectRef": [
        ("name", 1, TEXT, ""),
        ("namespace", 2, TEXT, ""),
        ("scalerMetadata", 3, MESSAGE, "*.externalscaler.Entry"),
    ],
    "Entry": [("key", 1, TEXT, ""), ("value", 2, TEXT, "")],
    "IsActiveResponse": [("result", 1, TRUTH, "")],
    "GetMetricSpecResponse": [("metricSpecs", 1, MESSAGE, "*.externalscaler.MetricSpec")],
    "MetricSpec": [
        ("metricName", 1, TEXT, ""),
        ("targetSize", 2, WHOLE, ""),
        ("targetSizeFloat", 3, DOUBLE, ""),
    ],
    "GetMetricsRequest": [
        ("scaledObjectRef", 1, MESSAGE, ".externalscaler.ScaledObjectRef"),
        ("metricName", 2, TEXT, ""),
    ],
    "GetMetricsResponse": [("metricValues", 1, MESSAGE, "*.externalscaler.MetricValue")],
    "MetricValue": [
        ("metricName", 1, TEXT, ""),
        ("metricValue", 2, WHOLE, ""),
        ("metricValueFloat", 3, DOUBLE, ""),
    ],
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="keda.proto", package="externalscaler", syntax="proto3"
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of in fields:
            made = message.field.add(name=field, number=number, type=kind)
            made.label = 3 if of.startswith("*") else 1
            if of:
                made.type_name = of.removeprefix("*")
    pool = descriptor_pool.DescriptorPool()  # not the one in which the product's own are
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"externalscaler.{name}"))
        for name in MESSAGES
    }


CLASSES = _classes()


class Keda:
    """One ScaledObject's trigger, as KEDA's operator asks for it.

    Args:
        metadata: the trigger's.
    """

    def __init__(self, port: int, **metadata: str) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        entries = [CLASSES["Entry"](key=key, value=value) for key, value in metadata.items()]
        self.object = CLASSES["ScaledObjectRef"](
            name="openiap-worker", namespace="openiap", scalerMetadata=entries
        )

    async def __aenter__(self) -> "Keda":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    def _call(self, make: Any, method: str, answer: str) -> Any:
        return make(
            f"/externalscaler.ExternalScaler/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=CLASSES[answer].FromString,
        )

    async def is_active(self) -> bool:
        call = self._call(self._channel.unary_unary, "IsActive", "IsActiveResponse")
        return bool((await call(self.object, timeout=30)).result)

    def stream(self) -> Any:
        make = self._call(self._channel.unary_stream, "StreamIsActive", "IsActiveResponse")
        return make(self.object)

    async def spec(self) -> list[tuple[str, int, float]]:
        call = self._call(self._channel.unary_unary, "GetMetricSpec", "GetMetricSpecResponse")
        specs = (await call(self.object, timeout=30)).metricSpecs
        return [(one.metricName, one.targetSize, one.targetSizeFloat) for one in specs]

    async def metrics(self, name: str = "wished") -> dict[str, tuple[int, float]]:
        asked = CLASSES["GetMetricsRequest"](scaledObjectRef=self.object, metricName=name)
        call = self._call(self._channel.unary_unary, "GetMetrics", "GetMetricsResponse")
        values = (await call(asked, timeout=30)).metricValues
        return {one.metricName: (one.metricValue, one.metricValueFloat) for one in values}

    async def replicas(self) -> int:
        """Return how many KEDA would have: none while there is nothing to do."""
        metrics = await self.metrics()
        return metrics["wished"][0] if await self.is_active() else 0
