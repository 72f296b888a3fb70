// The `ws` package as a client with compression. argv: URL, what it offers as JSON.
// Sends messages of all kinds, wants each back as it was, and prints what happened as JSON.
const WebSocket = require('ws');

const [url, offer] = process.argv.slice(2);
const text = (length) => Array.from({ length }, (_, i) => `${(i * i) % 997} `).join('').slice(0, length);
const messages = ['', 'hello', 'hello', 'Grüße, 世界', text(1000), text(200000)].flatMap((one) => [one, Buffer.from(one)]);

const socket = new WebSocket(url, { perMessageDeflate: { threshold: 0, ...JSON.parse(offer) } });
const report = { sent: messages.length, echoed: 0, wrong: 0, bytes: 0 };
socket.on('error', (error) => { report.error = String(error); });
socket.on('open', () => {
  report.extensions = socket.extensions;
  messages.forEach((message) => socket.send(message));
});
socket.on('message', (data, isBinary) => {
  const expected = messages[report.echoed];
  if (isBinary !== Buffer.isBuffer(expected) || !data.equals(Buffer.from(expected))) report.wrong += 1;
  report.echoed += 1;
  report.bytes += data.length;
  if (report.echoed === messages.length) socket.close(1000);
});
socket.on('close', (code) => console.log(JSON.stringify({ ...report, code })));
