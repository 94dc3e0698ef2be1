// done.js: in a window that was opened for a flow: tells the page that opened it, and closes.  The page asks the gateway what is
// so, and takes nobody's word for it.
const { connector, connection, failure } = document.getElementById('done').dataset;
const channel = new BroadcastChannel('appuser-connectors');
channel.postMessage({ connector, connection, failure });
channel.close();
setTimeout(() => close(), 200);
