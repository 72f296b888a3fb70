// The `ws` package. argv: PORT.
const { WebSocketServer } = require('ws');

const options = {
  host: '127.0.0.1',
  port: Number(process.argv[2]),
  perMessageDeflate: false,
  maxPayload: 64 << 20,
  backlog: 4096,
};
const server = new WebSocketServer(options, () => console.log('ready'));
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
