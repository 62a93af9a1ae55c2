// Every kind of client of a hub behind a proxy with TLS. Requests come from 127.0.0.3, those of a backend from 127.0.0.2, and
// those of a backend on the proxy's machine from 127.0.0.1.
// Arguments: the proxy's HTTPS and HTTP origins, the certificate's file, a token and an API key. Prints one report in JSON.
const fs = require('fs');
const http = require('http');
const https = require('https');
const http2 = require('http2');
const {io} = require('socket.io-client');
const WebSocket = require('ws');

const [secure, plain, certificate, token, key] = process.argv.slice(2);
const ca = fs.readFileSync(certificate);
const agentFrom = localAddress => new https.Agent({ca, localAddress});
const outside = agentFrom('127.0.0.3');
const inside = agentFrom('127.0.0.2');

/** The status, the headers and the body of a request. */
const request = (url, options = {}, body = '') => new Promise((resolve, reject) => {
    const client = url.startsWith('https:') ? https : http;
    const sent = client.request(url, options, answer => {
        let text = '';
        answer.on('data', chunk => { text += chunk; });
        answer.on('end', () => resolve({status: answer.statusCode, headers: answer.headers, text}));
    });
    sent.on('error', reject);
    sent.end(body);
});

const event = (emitter, name) => new Promise((resolve, reject) => {
    emitter.once(name, resolve);
    emitter.once('connect_error', reject);
    emitter.once('error', reject);
});

/** A push by a backend. */
const push = (path, command, agent) => request(`${secure}${path}`, {
    method: 'POST', agent, headers: {'X-API-Key': key, 'Content-Type': 'application/json'},
}, JSON.stringify(command));

/** A raw WebSocket: its first message, its subscription, and a message that it receives. */
async function raw() {
    const socket = new WebSocket(`${secure.replace('https', 'wss')}/ws?token=${token}`, {agent: outside});
    const messages = [];
    let wake = () => {};
    socket.on('message', text => { messages.push(JSON.parse(text)); wake(); });
    await event(socket, 'open');
    const next = async type => {
        for (;;) {
            const at = messages.findIndex(message => message.type === type);
            if (at >= 0) return messages.splice(at, 1)[0];
            await new Promise(resolve => { wake = resolve; });
        }
    };
    const first = await next('Status');
    socket.send(JSON.stringify({type: 'Subscribe', data: {topics: ['news']}}));
    await next('Status');
    const pushed = await push('/api/room', {room: 'news', event: 'headline', data: {n: 1}}, inside);
    return {socket, status: first.data.status, pushed: JSON.parse(pushed.text).recipients, received: await next('headline')};
}

/** A Socket.IO session that begins with polling: its transports, and an event that it receives. */
async function socketio() {
    const socket = io(secure, {auth: {token}, agent: outside, ca, reconnection: false});
    const engine = socket.io.engine;
    const first = engine.transport.name;
    const upgraded = new Promise(resolve => engine.once('upgrade', transport => resolve(transport.name)));
    await event(socket, 'connect');
    const second = await upgraded;
    const received = event(socket, 'greeting');
    await push('/api/push', {userId: 'alice', event: 'greeting', data: {n: 2}}, inside);
    return {socket, first, second, received: await received};
}

/** The status of a request over HTTP/2. */
const overHttp2 = (headers, body) => new Promise((resolve, reject) => {
    const session = http2.connect(secure, {ca});
    session.on('error', reject);
    const stream = session.request(headers);
    stream.on('error', reject);
    stream.on('response', answer => { resolve(answer[':status']); session.close(); });
    stream.end(body);
});

const signIn = () => overHttp2(
    {':path': '/sessions', ':method': 'POST', 'content-type': 'application/json'},
    JSON.stringify({username: 'nobody', password: 'a wrong password'}),
);

/** The status of a WebSocket over HTTP/2 (RFC 8441), and whether the hub sends on it; or that the proxy does not offer it. */
const socketOverHttp2 = () => new Promise((resolve, reject) => {
    const session = http2.connect(secure, {ca});
    session.on('error', reject);
    session.on('remoteSettings', settings => {
        if (!settings.enableConnectProtocol) {
            resolve('not offered');
            session.close();
            return;
        }
        const stream = session.request({
            ':method': 'CONNECT', ':protocol': 'websocket', ':path': `/ws?token=${token}`, 'sec-websocket-version': '13',
        });
        let status;
        stream.on('response', headers => { status = headers[':status']; });
        stream.on('data', data => { resolve([status, data.includes('"status":"connected"')]); session.destroy(); });
        stream.on('error', reject);
        stream.on('end', () => resolve([status, false]));
    });
});

async function main() {
    const {socket: first, ...rawReport} = await raw();
    const {socket: second, ...sioReport} = await socketio();
    const sessions = JSON.parse((await request(`${secure}/api/presence/alice`, {agent: inside, headers: {'X-API-Key': key}})).text);
    const hidden = {};
    for (const path of ['/', '/health', '/health/ready', '/status', '/info', '/openapi.json', '/metrics', '/%6detrics', '/other']) {
        hidden[path] = (await request(`${secure}${path}`, {agent: inside})).status;
    }
    const large = await request(`${secure}/api/push`, {
        method: 'POST', agent: inside, headers: {'X-API-Key': key, 'Content-Type': 'application/json'},
    }, JSON.stringify({userId: 'alice', event: 'large', data: 'x'.repeat(1 << 20)}));
    const redirect = await request(`${plain}/ws?a=b`);
    console.log(JSON.stringify({
        raw: rawReport,
        socketio: sioReport,
        presence: sessions,
        hidden,
        push_from_outside: (await push('/api/push', {userId: 'alice', event: 'x', data: 1}, outside)).status,
        push_from_this_machine: (await push('/api/push', {userId: 'alice', event: 'x', data: 1}, new https.Agent({ca}))).status,
        other_host: (await request(`${secure}/api/rooms`, {
            agent: inside, headers: {Host: 'other.example', 'X-API-Key': key}, servername: 'localhost',
        })).status,
        push_without_key: (await request(`${secure}/api/rooms`, {agent: inside})).status,
        large: [large.status, JSON.parse(large.text).code],
        http2: await signIn(),
        request_to_ws: (await request(`${secure}/ws`, {agent: outside})).status,
        request_to_ws_over_http2: await overHttp2({':path': '/ws'}),
        socket_over_http2: await socketOverHttp2(),
        redirect: [redirect.status, new URL(redirect.headers.location).protocol],
    }));
    first.close();
    second.close();
    outside.destroy();
    inside.destroy();
}

main().catch(error => { console.error(error); process.exit(1); });
