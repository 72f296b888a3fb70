// The `ws` package: PORT [--tls FOLDER] [--deflate LEVEL].
const { readFileSync } = require('fs');
const { createServer } = require('https');
const { parseArgs } = require('util');
const { WebSocketServer } = require('ws');

const { values, positionals } = parseArgs({
  options: { tls: { type: 'string' }, deflate: { type: 'string' } },
  allowPositionals: true,
});
const listen = { host: '127.0.0.1', port: Number(positionals[0]), backlog: 4096 };
const ready = () => console.log('ready');
const options = {
  maxPayload: 64 << 20,
  perMessageDeflate: values.deflate !== undefined && {
    threshold: 0,
    zlibDeflateOptions: { level: Number(values.deflate), memLevel: 8 },
  },
};

let server;
if (values.tls) {
  const read = (name) => readFileSync(`${values.tls}/${name}.pem`);
  const https = createServer({ cert: read('cert'), key: read('key') });
  server = new WebSocketServer({ ...options, server: https });
  https.listen(listen, ready);
} else {
  server = new WebSocketServer({ ...options, ...listen }, ready);
}
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
