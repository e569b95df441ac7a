"""Makes openiap_pb2.py and openiap_pb2.pyi anew from openiap.proto.

Run with ``python -m worker.openiap.wire.generate``; needs ``grpcio-tools`` (in the extra ``test``).
"""

import sys
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


def generate(out: Path = ROOT) -> int:
    """Compile the schema below ``out`` and return protoc's exit code."""
    include = Path(grpc_tools.__file__).parent / "_proto"
    return int(
        protoc.main(
            [
                "protoc",
                f"-I{ROOT}",
                f"-I{include}",
                f"--python_out={out}",
                f"--pyi_out={out}",
                str(HERE / "openiap.proto"),
            ]
        )
    )


if __name__ == "__main__":
    sys.exit(generate())
