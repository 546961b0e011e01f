// A stock client of StreamCommands: writes transfers as fast as it may, which in Node is until `write` says to wait for
// `drain`, and reads every answer. What was not decided (there was an election, say) is sent again under its own id.
//
// Usage: stream.js ADDRESS PROTO_FOLDER SECONDS. Prints `{"commands": N, "repeated": M}` if all that was sent was
// answered once, and each command accepted in the end.
'use strict';

const crypto = require('crypto');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [, , address, protoFolder, seconds] = process.argv;
const definition = loader.loadSync('folio/v1/ledger.proto', { keepCase: true, includeDirs: [protoFolder] });
const { folio } = grpc.loadPackageDefinition(definition);
const ledger = new folio.v1.LedgerService(address, grpc.credentials.createInsecure());
const call = ledger.StreamCommands();
const { UNAVAILABLE, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED } = grpc.status;
// What was sent and not answered, by its tag.
const open = new Map();
let sent = 0;
let commands = 0;
let isWriting = true;

function fail(problem) {
  console.error(`${problem}; sent ${sent}, not answered ${open.size}`);
  process.exit(1);
}

function send(transfer) {
  sent += 1;
  open.set(String(sent), transfer);
  return call.write({ tag: sent, command: { transfer } });
}

function endIfDone() {
  if (!isWriting && open.size === 0) call.end();
}

call.on('data', ({ tag, result }) => {
  const transfer = open.get(String(tag));
  if (!transfer) fail(`command ${tag} was answered though it was not open`);
  open.delete(String(tag));
  if (result.refusal) {
    const undecided = [UNAVAILABLE, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED].includes(result.refusal.code);
    if (!undecided) fail(`command ${tag} was refused: ${JSON.stringify(result.refusal)}`);
    // It stays open until it is sent again.
    open.set(`again ${tag}`, transfer);
    setTimeout(() => {
      send(transfer);
      open.delete(`again ${tag}`);
    }, 100);
  }
  endIfDone();
});
call.on('error', (error) => fail(`the stream broke: ${error.code} ${error.details}`));
call.on('end', () => {
  if (open.size > 0) fail('the stream ended with commands that have no answer');
  console.log(JSON.stringify({ commands, repeated: sent - commands }));
  process.exit(0);
});

async function write() {
  const end = Date.now() + 1000 * Number(seconds);
  while (Date.now() < end) {
    commands += 1;
    const transfer = {
      request_id: crypto.randomUUID(),
      debit_account: 'assets:bank:usd',
      credit_account: 'liabilities:customers:alice:usd',
      amount: '0.01',
    };
    if (!send(transfer)) await new Promise((resolve) => call.once('drain', resolve));
  }
  isWriting = false;
  endIfDone();
}

write();
