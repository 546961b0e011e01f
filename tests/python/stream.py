"""A stock client of StreamCommands: sends transfers as fast as the library takes them, and reads every answer.

Usage: stream.py ADDRESS PROTO_FOLDER SECONDS. Prints `{"commands": N}` if each command was answered once, accepted.
"""

import json
import sys
import tempfile
import time
import uuid

import grpc

from generated import generate


def main():
    address, proto_folder, seconds = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="folio-python-") as out:
        generate(proto_folder, out)
        stream(address, float(seconds))


def stream(address, seconds):
    from folio.v1 import ledger_pb2 as messages
    from folio.v1 import ledger_pb2_grpc as services

    unanswered = set()
    sent = 0

    def commands():
        nonlocal sent
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sent += 1
            unanswered.add(sent)
            request = messages.StreamCommandsRequest(tag=sent)
            request.command.transfer.request_id = str(uuid.uuid4())
            request.command.transfer.debit_account = "assets:bank:usd"
            request.command.transfer.credit_account = "liabilities:customers:alice:usd"
            request.command.transfer.amount = "0.01"
            yield request

    with grpc.insecure_channel(address) as channel:
        for answer in services.LedgerServiceStub(channel).StreamCommands(commands()):
            assert not answer.result.HasField("refusal"), answer
            # Each tag once: a second answer to it would find nothing to remove.
            unanswered.remove(answer.tag)
    assert not unanswered, f"{len(unanswered)} of {sent} commands have no answer"
    print(json.dumps({"commands": sent}))


main()
