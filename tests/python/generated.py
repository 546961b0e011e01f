"""The messages and stubs of folio's protos, made when they are needed."""

import os
import sys

import grpc_tools
from grpc_tools import protoc


def generate(proto_folder, out):
    """Writes the modules into the folder `out`, and lets them be imported."""
    well_known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    files = [f"folio/v1/{name}.proto" for name in ("types", "ledger")]
    arguments = ["protoc", f"-I{proto_folder}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(arguments + files) != 0:
        sys.exit("the protos do not compile")
    sys.path.insert(0, out)
