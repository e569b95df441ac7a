"""KEDA's external scaler over gRPC: the answers of ``/scale`` in the words of KEDA.

What cannot be told is an error and no number, so that KEDA keeps what it has and, in the end, its
``fallback`` applies.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import grpc

from worker.cli.scaler import externalscaler_pb2 as pb
from worker.engine.maintenance.worked_queues import Refused
from worker.errors import StateError

SERVICE: Final = "externalscaler.ExternalScaler"
METRIC: Final = "wished"
PARAMETERS: Final = {
    "queue": "queue",
    "target": "target",
    "perSecond": "per_second",
    "slots": "slots",
}
"""From a trigger's metadata to the parameters of ``/scale``."""
CODES: Final = {
    HTTPStatus.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
}
MOST_CALLS: Final = 256
"""Calls at once, streams among them."""
MOST_BYTES: Final = 64 * 1024
GRACE: Final = 3.0

Told = Callable[[Mapping[str, str]], Awaitable[dict[str, object] | Refused]]


class ExternalScaler:
    """The gRPC server; shape: ``start``, ``stop``.

    Args:
        told: answers ``/scale``.
        fresh: for how many seconds an answer holds; streams ask that often.
    """

    def __init__(self, told: Told, fresh: Callable[[], float]) -> None:
        self._told = told
        self._fresh = fresh
        self._stopping = asyncio.Event()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Begin to answer; port 0 takes a free one (see ``port``).

        Raises:
            StateError: the address cannot be had.
        """
        server = grpc.aio.server(
            maximum_concurrent_rpcs=MOST_CALLS,
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", MOST_BYTES),
                ("grpc.server_handshake_timeout_ms", 10_000),
            ],
        )
        server.add_generic_rpc_handlers((self._methods(),))
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port = server.add_insecure_port(shown)
            if not self.port:
                raise RuntimeError
        except RuntimeError as error:
            raise StateError(
                f"The external scaler cannot use {shown}: it is taken, or not of this machine; set"
                " --grpc-port or --host to another."
            ) from error
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """End streams, let calls finish, and answer no more; idempotent."""
        self._stopping.set()
        server, self._server = self._server, None
        if server is not None:
            await server.stop(GRACE)

    async def is_active(self, asked: pb.ScaledObjectRef, context: Any) -> pb.IsActiveResponse:
        """Say whether there is anything to do: items that wait, or that somebody works."""
        return pb.IsActiveResponse(result=await self._wished(asked, context) > 0)

    async def stream_is_active(
        self, asked: pb.ScaledObjectRef, context: Any
    ) -> AsyncIterator[pb.IsActiveResponse]:
        """Say it now, and whenever it changes; the stream ends with the scaler, or with an error
        once it cannot be told."""
        last: bool | None = None
        while not self._stopping.is_set():
            active = await self._wished(asked, context) > 0
            if active is not last:
                yield pb.IsActiveResponse(result=active)
                last = active
            try:
                async with asyncio.timeout(self._fresh()):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def metric_spec(
        self, asked: pb.ScaledObjectRef, context: Any
    ) -> pb.GetMetricSpecResponse:
        """Say that there is one number, of which each replica stands for 1; asks nobody."""
        spec = pb.MetricSpec(metricName=METRIC, targetSize=1, targetSizeFloat=1.0)
        return pb.GetMetricSpecResponse(metricSpecs=[spec])

    async def metrics(self, asked: pb.GetMetricsRequest, context: Any) -> pb.GetMetricsResponse:
        """Say how many workers the queue needs."""
        if asked.metricName not in ("", METRIC):
            text = f"no metric {asked.metricName[:100]!r}; there is: {METRIC}"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        wished = await self._wished(asked.scaledObjectRef, context)
        value = pb.MetricValue(
            metricName=METRIC, metricValue=wished, metricValueFloat=float(wished)
        )
        return pb.GetMetricsResponse(metricValues=[value])

    async def _wished(self, asked: pb.ScaledObjectRef, context: Any) -> int:
        given = asked.scalerMetadata
        query = {ours: given[theirs] for theirs, ours in PARAMETERS.items() if theirs in given}
        told = await self._told(query)
        if isinstance(told, Refused):
            code = CODES.get(told.status, grpc.StatusCode.UNAVAILABLE)
            await context.abort(code, told.error)
            raise AssertionError  # abort has raised
        return int(str(told["wished"]))

    def _methods(self) -> Any:
        unary, one = grpc.unary_unary_rpc_method_handler, pb.ScaledObjectRef.FromString
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "IsActive": unary(self.is_active, one, pb.IsActiveResponse.SerializeToString),
                "StreamIsActive": grpc.unary_stream_rpc_method_handler(
                    self.stream_is_active, one, pb.IsActiveResponse.SerializeToString
                ),
                "GetMetricSpec": unary(
                    self.metric_spec, one, pb.GetMetricSpecResponse.SerializeToString
                ),
                "GetMetrics": unary(
                    self.metrics,
                    pb.GetMetricsRequest.FromString,
                    pb.GetMetricsResponse.SerializeToString,
                ),
            },
        )
