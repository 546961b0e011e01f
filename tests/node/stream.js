// A stock client of StreamCommands: writes transfers as fast as it may, which in Node is until `write` says to wait for
// `drain`, and reads every answer.
//
// Usage: stream.js ADDRESS PROTO_FOLDER SECONDS. Prints `{"commands": N}` if each command was answered once, accepted.
'use strict';

const crypto = require('crypto');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [, , address, protoFolder, seconds] = process.argv;
const definition = loader.loadSync('folio/v1/ledger.proto', { keepCase: true, includeDirs: [protoFolder] });
const { folio } = grpc.loadPackageDefinition(definition);
const ledger = new folio.v1.LedgerService(address, grpc.credentials.createInsecure());
const call = ledger.StreamCommands();
const open = new Set();
let sent = 0;
let answers = 0;

function fail(problem) {
  console.error(`${problem}; sent ${sent}, answered ${answers}`);
  process.exit(1);
}

call.on('data', ({ tag, result }) => {
  answers += 1;
  if (result.refusal) fail(`command ${tag} was refused: ${JSON.stringify(result.refusal)}`);
  if (!open.delete(String(tag))) fail(`command ${tag} was answered though it was not open`);
});
call.on('error', (error) => fail(`the stream broke: ${error.code} ${error.details}`));
call.on('end', () => {
  if (open.size > 0) fail(`${open.size} commands have no answer`);
  console.log(JSON.stringify({ commands: sent }));
  process.exit(0);
});

async function write() {
  const end = Date.now() + 1000 * Number(seconds);
  while (Date.now() < end) {
    sent += 1;
    open.add(String(sent));
    const transfer = {
      request_id: crypto.randomUUID(),
      debit_account: 'assets:bank:usd',
      credit_account: 'liabilities:customers:alice:usd',
      amount: '0.01',
    };
    if (!call.write({ tag: sent, command: { transfer } })) {
      await new Promise((resolve) => call.once('drain', resolve));
    }
  }
  call.end();
}

write();
