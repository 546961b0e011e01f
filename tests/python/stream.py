"""A stock client of StreamCommands: sends transfers as fast as the library takes them, and reads every answer. What was
not decided (there was an election, say) is sent again under its own id.

Usage: stream.py ADDRESS PROTO_FOLDER SECONDS. Prints `{"commands": N, "repeated": M}` if all that was sent was answered
once, and each command accepted in the end.
"""

import json
import queue
import sys
import tempfile
import time
import uuid

import grpc

from generated import generate

UNDECIDED = {code.value[0] for code in (
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)}


def main():
    address, proto_folder, seconds = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="folio-python-") as out:
        generate(proto_folder, out)
        stream(address, float(seconds))


def stream(address, seconds):
    from folio.v1 import ledger_pb2 as messages
    from folio.v1 import ledger_pb2_grpc as services

    # What was sent and not answered, by its tag, and what is to be sent again.
    unanswered = {}
    again = queue.SimpleQueue()
    sent = commands = 0

    def tagged(command):
        nonlocal sent
        sent += 1
        unanswered[sent] = command
        return messages.StreamCommandsRequest(tag=sent, command=command)

    def requests():
        nonlocal commands
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            commands += 1
            command = messages.Command()
            command.transfer.request_id = str(uuid.uuid4())
            command.transfer.debit_account = "assets:bank:usd"
            command.transfer.credit_account = "liabilities:customers:alice:usd"
            command.transfer.amount = "0.01"
            yield tagged(command)
        while unanswered or not again.empty():
            try:
                yield tagged(again.get(timeout=0.1))
            except queue.Empty:
                pass

    with grpc.insecure_channel(address) as channel:
        for answer in services.LedgerServiceStub(channel).StreamCommands(requests()):
            # Each tag once: a second answer to it would find nothing.
            command = unanswered[answer.tag]
            if answer.result.HasField("refusal"):
                assert answer.result.refusal.code in UNDECIDED, answer
                # Before it is answered, so that what is to be sent is never seen to be done.
                again.put(command)
            del unanswered[answer.tag]
    assert not unanswered and again.empty(), f"{len(unanswered)} of {sent} have no answer"
    print(json.dumps({"commands": commands, "repeated": sent - commands}))


main()
