// A client as browsers have it, of the `ws` package or of Node itself. argv: which, and URLs as JSON.
// On each URL it says three things, closes once it has the last of them back, and tells what it got.
const [which, urls] = process.argv.slice(2);
const Client = which === 'ws' ? require('ws') : WebSocket;

const talk = (url) => new Promise((resolve) => {
  const told = { messages: [] };
  const socket = new Client(url);
  socket.onopen = () => ['one', 'two', 'end'].forEach((text) => socket.send(text));
  socket.onmessage = ({ data }) => {
    told.messages.push(data);
    if (data === 'end') socket.close(1000);
  };
  socket.onerror = () => {};
  socket.onclose = ({ code, reason }) => resolve({ ...told, code, reason });
});

Promise.all(JSON.parse(urls).map(talk)).then((told) => console.log(JSON.stringify(told)));
