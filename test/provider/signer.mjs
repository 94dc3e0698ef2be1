#!/usr/bin/env node
// signer.mjs
//
// Makes keys and signs JSON Web Tokens, well or badly, for tests. Reads one JSON array a line from its
// standard input, answers each with one line of JSON, and exits when the input closes.
//
//   ["key", NAME, KIND]       a key pair of KIND: RSA-2048 (or any number of bits), P-256, P-384, P-521, Ed25519;
//                             answers its public JSON Web Key, without kid
//   ["private", NAME]         the whole JSON Web Key
//   ["pem", NAME]             the public key as PEM
//   ["jwt", {...}]            answers a JWT:
//       alg                   how it is signed and, unless header says otherwise, what the header says
//       key NAME, or secret   a string, for HS*
//       header, claims        objects; claims may be a string, taken as it is
//       signature             bytes as base64url instead of a signature; flip: one bit of it is wrong

import crypto from 'node:crypto';
import readline from 'node:readline';

const keys = new Map();

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

function makeKey(name, kind) {
	const [type, bits] = kind.split('-');
	if (type === 'RSA') keys.set(name, crypto.generateKeyPairSync('rsa', { modulusLength: Number(bits) }));
	else if (type === 'P') keys.set(name, crypto.generateKeyPairSync('ec', { namedCurve: kind }));
	else keys.set(name, crypto.generateKeyPairSync('ed25519'));
	return keys.get(name).publicKey.export({ format: 'jwk' });
}

function sign(alg, text, { key, secret }) {
	if (alg === 'none') return Buffer.alloc(0);
	const hash = `sha${alg.slice(2)}`;
	if (alg.startsWith('HS')) return crypto.createHmac(hash, secret).update(text).digest();
	const { privateKey } = keys.get(key);
	if (alg === 'EdDSA') return crypto.sign(null, Buffer.from(text), privateKey);
	return crypto.sign(hash, Buffer.from(text), {
		key: privateKey,
		dsaEncoding: 'ieee-p1363',
		...(alg.startsWith('PS') && {
			padding: crypto.constants.RSA_PKCS1_PSS_PADDING,
			saltLength: crypto.constants.RSA_PSS_SALTLEN_DIGEST,
		}),
	});
}

function makeJwt(order) {
	const text = `${encode({ alg: order.alg, typ: 'JWT', ...order.header })}.${encode(order.claims)}`;
	const signature = order.signature === undefined ? sign(order.alg, text, order) : Buffer.from(order.signature, 'base64url');
	if (order.flip) signature[signature.length >> 1] ^= 1;
	return `${text}.${signature.toString('base64url')}`;
}

const commands = {
	key: makeKey,
	private: (name) => keys.get(name).privateKey.export({ format: 'jwk' }),
	pem: (name) => keys.get(name).publicKey.export({ format: 'pem', type: 'spki' }),
	jwt: makeJwt,
};

for await (const line of readline.createInterface({ input: process.stdin })) {
	const [command, ...args] = JSON.parse(line);
	process.stdout.write(`${JSON.stringify(commands[command](...args))}\n`);
}
