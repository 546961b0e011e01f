"""A stock gRPC client in another language: try, confirm, a repeated confirm, a reused id, and error details.

Usage: payments.py ADDRESS PROTO_FOLDER. Exits 0 and prints `passed` if every answer is as promised.
"""

import sys
import tempfile
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from generated import generate


def refused(call, request, code, reason):
    try:
        call(request, timeout=10)
    except grpc.RpcError as error:
        assert error.code() == code, error
        found = error_details_pb2.ErrorInfo()
        for detail in rpc_status.from_call(error).details:
            if detail.Is(found.DESCRIPTOR):
                detail.Unpack(found)
        assert (found.reason, found.domain) == (reason, "folio"), found
        return found.metadata
    raise AssertionError(f"{reason} was expected; the call succeeded")


def main():
    address, proto_folder = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="folio-python-") as out:
        generate(proto_folder, out)
        check(address)


def check(address):
    from folio.v1 import ledger_pb2 as messages
    from folio.v1 import ledger_pb2_grpc as services
    from folio.v1 import types_pb2 as types

    def new_id():
        return str(uuid.uuid4())

    with grpc.insecure_channel(address) as channel:
        ledger = services.LedgerServiceStub(channel)
        ledger.RegisterAsset(messages.RegisterAssetRequest(request_id=new_id(), code="EUR", scale=2), timeout=10)
        for name, unlimited in (("py:bank", True), ("py:payer", False), ("py:payee", False)):
            request = messages.OpenAccountRequest(
                request_id=new_id(), name=name, asset="EUR", **{"class": types.ACCOUNT_CLASS_LIABILITY})
            if unlimited:
                request.floor.unlimited = True
            ledger.OpenAccount(request, timeout=10)
        ledger.Transfer(messages.TransferRequest(
            request_id=new_id(), debit_account="py:bank", credit_account="py:payer", amount="10.00"), timeout=10)

        def attempt(amount, request_id):
            return messages.TryTransactionRequest(request_id=request_id, postings=[
                types.Posting(account="py:payer", side=types.SIDE_DEBIT, amount=amount),
                types.Posting(account="py:payee", side=types.SIDE_CREDIT, amount=amount)])

        hold = new_id()
        tried = ledger.TryTransaction(attempt("7.00", hold), timeout=10)
        assert tried.transaction_id == hold and not tried.decision.replayed, tried
        confirm = messages.ConfirmTransactionRequest(request_id=new_id(), transaction_id=hold)
        assert not ledger.ConfirmTransaction(confirm, timeout=10).decision.replayed
        assert ledger.ConfirmTransaction(confirm, timeout=10).decision.replayed
        values = refused(ledger.TryTransaction, attempt("6.00", hold), grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
        assert "postings" in values["fields"], values
        values = refused(
            ledger.TryTransaction, attempt("5.00", new_id()), grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS")
        assert (values["available"], values["needed"], values["account"]) == ("3.00", "5.00", "py:payer"), values
        payee = ledger.GetAccount(messages.GetAccountRequest(name="py:payee"), timeout=10).account
        assert (payee.posted, payee.available) == ("7.00", "7.00"), payee
    print("passed")


main()
