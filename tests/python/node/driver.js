// The `ws` package as one of the clients of docs/clients.md: see ../drivers/driving.py.
const WebSocket = require('ws');

function talk({ url, subprotocols, limit }, done) {
  const told = { opened: false, subprotocol: null, messages: [], error: null };
  const socket = new WebSocket(url, subprotocols, limit === null ? {} : { handshakeTimeout: limit * 1000 });
  socket.on('open', () => {
    told.opened = true;
    told.subprotocol = socket.protocol || null;
  });
  socket.on('message', (data) => {
    told.messages.push(data.toString());
    if (data.toString() === 'next') socket.send('next');
  });
  socket.on('error', (error) => { told.error = error.code || error.message; });
  socket.on('close', () => done(told));
}

console.log('ready');
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  talk(JSON.parse(line), (told) => console.log(JSON.stringify(told)));
});
