import { AppError } from '@embergate/contracts/errors.ts';
import type { RequestHandler } from 'express';

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);

/**
 * Keeps pages in a browser away from a local gateway.
 *
 * Host: without API keys only loopback names are served, so that a DNS name rebound to 127.0.0.1 gets nothing.
 * Origin: a browser sends it with every cross-site POST; whatever is not this gateway itself is refused.
 * Sec-Fetch-Site: what a page loads without an Origin (images, scripts) still says that it comes from elsewhere. A link
 * that a person follows does too, and is served.
 */
export function browserGuard({ checkHost }: { checkHost: boolean }): RequestHandler {
  return (request, _response, next) => {
    const host = request.headers.host ?? '';
    if (checkHost && !isLocalName(host)) {
      throw new AppError(
        'forbidden_host',
        `Host ${JSON.stringify(host)} is not served without API keys; use 127.0.0.1 or localhost.`,
      );
    }
    const { origin } = request.headers;
    if (origin !== undefined && !isSameOrigin(origin, host)) {
      throw new AppError('forbidden_origin', `Requests from pages of ${JSON.stringify(origin)} are refused.`);
    }
    const site = request.headers['sec-fetch-site'];
    const isFollowed = request.headers['sec-fetch-mode'] === 'navigate';
    if ((site === 'cross-site' || site === 'same-site') && !isFollowed)
      throw new AppError('forbidden_origin', 'Requests from pages of another origin are refused.');
    next();
  };
}

const isLocalName = (host: string): boolean => isLoopback(host.replace(/:\d+$/, '').toLowerCase());

const isSameOrigin = (origin: string, host: string): boolean =>
  URL.canParse(origin) && new URL(origin).host === host.toLowerCase() && host !== '';
