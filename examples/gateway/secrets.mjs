// secrets.mjs: what stands for a secret where the secret itself should not be kept or compared.
import { createHash } from 'node:crypto';

// Digests have one length, and so are compared in constant time (timingSafeEqual) whatever was given.
export function digest(text) {
	return createHash('sha256').update(text).digest();
}

export function shortDigest(text) {
	return digest(text).toString('base64url').slice(0, 22);
}
