"""The native client: the door over asyncio, websockets or gRPC, and protobuf."""

from worker.openiap.native.client import NativeClient

__all__ = ["NativeClient"]
