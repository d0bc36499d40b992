// Services of a host for guests on a user network, on its loopback interface and its other addresses:
// HTTP and an echo of TCP in IPv4 and IPv6, and a name server that knows www.example.test. Arguments:
// ports of HTTP, echo and DNS, and a prefix of all HTTP answers. A line with a URL on standard input is
// fetched, a line "counts" prints the echo's connections: open, most at once, and all so far.
const { createSocket } = require('node:dgram');
const { createServer: createHttp } = require('node:http');
const { createServer } = require('node:net');
const { createInterface } = require('node:readline');

const [httpPort, echoPort, dnsPort] = process.argv.slice(2, 5).map(Number);
const greeting = process.argv[5];
const counts = { open: 0, most: 0, all: 0 };
const ADDRESSES = { 1: [198, 51, 100, 7], 28: [0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 7] };
const NAME = '\x03www\x07example\x04test\0';

/** RFC 1035, 4.1: the question as it came, and an answer whose name points to it. */
function answer(query) {
  const end = query.indexOf(0, 12) + 5;
  const question = query.subarray(12, end);
  const address = ADDRESSES[query.readUInt16BE(end - 4)];
  const known = query.toString('latin1', 12, end - 4).toLowerCase() === NAME;
  const data = known && address !== undefined ? [address] : [];
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(known ? 0x8180 : 0x8183, 2);
  header.writeUInt16BE(data.length, 6);
  header.writeUInt32BE(0, 8);
  const records = data.map((bytes) => {
    const record = Buffer.from([0xc0, 12, ...query.subarray(end - 4, end), 0, 0, 0, 60, 0, 0]);
    record.writeUInt16BE(bytes.length, 10);
    return Buffer.concat([record, Buffer.from(bytes)]);
  });
  return Buffer.concat([header, question, ...records]);
}

function echo(socket) {
  counts.open++;
  counts.all++;
  counts.most = Math.max(counts.most, counts.open);
  socket.on('close', () => counts.open--);
  socket.on('error', () => undefined);
  socket.pipe(socket);
}

function listen(server, port) {
  return new Promise((resolve) => server.listen({ host: '::', port, backlog: 4096 }, resolve));
}

async function main() {
  const http = createHttp((request, response) => response.end(`${greeting} ${request.url}\n`));
  await listen(http, httpPort);
  await listen(createServer({ allowHalfOpen: true }, echo), echoPort);
  const dns = createSocket('udp4');
  dns.on('message', (query, { port, address }) => dns.send(answer(query), port, address));
  await new Promise((resolve) => dns.bind(dnsPort, '127.0.0.1', resolve));
  console.log('ready');
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'counts') console.log(`counts ${JSON.stringify(counts)}`);
    else {
      const text = await globalThis.fetch(line).then(
        (got) => got.text(),
        (error) => `${error.cause ?? error}`,
      );
      console.log(`fetched ${JSON.stringify(text)}`);
    }
  }
  process.exit(0);
}

void main();
