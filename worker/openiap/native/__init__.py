"""The native client: asyncio, websockets or gRPC, and protobuf."""

from worker.openiap.native.client import NativeClient

__all__ = ["NativeClient"]
