"""Makes openiap_pb2.py and openiap_pb2.pyi anew from openiap.proto, or those of another schema.

Run with ``python -m worker.openiap.wire.generate [FILE]``, from the folder that holds ``worker``;
needs ``grpcio-tools`` (in the extra ``test``).
"""

import sys
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


SCHEMA = HERE / "openiap.proto"


def generate(schema: Path = SCHEMA, out: Path = ROOT) -> int:
    """Compile a schema below ``out`` and return protoc's exit code."""
    include = Path(grpc_tools.__file__).parent / "_proto"
    return int(
        protoc.main(
            [
                "protoc",
                f"-I{ROOT}",
                f"-I{include}",
                f"--python_out={out}",
                f"--pyi_out={out}",
                str(schema),
            ]
        )
    )


if __name__ == "__main__":
    sys.exit(generate(*(Path(given).resolve() for given in sys.argv[1:2])))
