"""What a stock reflection client sees; Python's knows the older version of reflection alone.

Usage: reflection.py ADDRESS. Exits 0 and prints `passed` if it finds the services and the form of a request.
"""

import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

with grpc.insecure_channel(sys.argv[1]) as channel:
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    for service in ("LedgerService", "AuditService", "ClusterService"):
        assert f"folio.v1.{service}" in services, services
    transfer = DescriptorPool(database).FindServiceByName("folio.v1.LedgerService").FindMethodByName("Transfer")
    assert "debit_account" in transfer.input_type.fields_by_name, transfer.input_type.fields_by_name
print("passed")
