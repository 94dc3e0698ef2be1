// index.mjs: the pages are registered here.
//
// A route's options are { config: { page: true } }: errors are then pages as well.  Whatever changes something is a POST that
// begins with requireOwnPage().  Pages work without scripts; assets/ only makes them livelier.
import { admin } from './admin/index.mjs';
import { assets } from './assets.mjs';
import { componentDemo } from './component-demo.mjs';
import { connections } from './connections.mjs';

export async function pages(app, services) {
	await app.register(assets);
	await app.register(connections, services);
	if (services.config.demo) await app.register(componentDemo, services);
	if (services.database.asAdmin) await app.register(admin, services);
}
