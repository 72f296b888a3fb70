// The `ws` package as one of the clients of docs/clients.md: see ../drivers/driving.py.
const WebSocket = require('ws');

function talk({ url, subprotocols, limit, heartbeat, closing }, done) {
  const told = { opened: false, subprotocol: null, messages: [], code: null, error: null };
  if (heartbeat !== null) return done({ ...told, error: 'NoOption' });
  const socket = new WebSocket(url, subprotocols, {
    ...(limit !== null && { handshakeTimeout: limit * 1000 }),
    ...(closing !== null && { closeTimeout: closing * 1000 }),
  });
  socket.on('open', () => {
    told.opened = true;
    told.subprotocol = socket.protocol || null;
  });
  socket.on('message', (data) => {
    told.messages.push(data.toString());
    if (data.toString() === 'next') socket.send('next');
    if (data.toString() === 'close') socket.close(1000);
  });
  socket.on('error', (error) => { told.error = error.code || error.message; });
  socket.on('close', (code) => done({ ...told, code }));
}

console.log('ready');
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  talk(JSON.parse(line), (told) => console.log(JSON.stringify(told)));
});
