import { type LoginRequest, type TokenPair, tokenPairSchema } from '@cache-system/contracts';
import { ApiError, call, type Call } from './http';
import { claimNewTab, reclaimTab } from './tab-claim';

const STORAGE_KEY = 'cache-system.refresh-token';

/** The server takes the tokens of this session no more. */
export class SessionEnded extends Error {
  override readonly name = 'SessionEnded';

  constructor(options?: ErrorOptions) {
    super('The session has ended', options);
  }
}

/** The tokens of the signed-in user: the access token in memory only, the refresh token in the tab's storage. */
class Session {
  #accessToken: string | null = null;
  #refreshing: Promise<string> | null = null;
  #restored: Promise<void> | null = null;
  #onEnded: () => void = () => undefined;

  /** `listener` hears of a session that the server has ended, not of a logout. */
  onEnded(listener: () => void): void {
    this.#onEnded = listener;
  }

  /** Whether there is a session, as far as this tab knows: the server may have ended it. */
  async isOpen(): Promise<boolean> {
    this.#restored ??= this.#restore();
    await this.#restored;
    return this.#refreshToken !== null;
  }

  async login(credentials: LoginRequest): Promise<void> {
    this.#keep(await call('/v1/auth/login', { method: 'POST', body: credentials, response: tokenPairSchema }));
    await claimNewTab();
  }

  /** Ends the session here in any case; rejects if the server could not be told. */
  async logout(): Promise<void> {
    try {
      await this.request('/v1/auth/logout', { method: 'POST' });
    } catch (error) {
      if (!(error instanceof SessionEnded)) throw error;
    } finally {
      this.#forget();
    }
  }

  /** Calls the API as the signed-in user, with a new access token where the present one has expired. */
  async request<T = undefined>(path: string, options: Omit<Call<T>, 'accessToken'> = {}): Promise<T> {
    const accessToken = this.#accessToken ?? (await this.#replace(null));
    try {
      return await call(path, { ...options, accessToken });
    } catch (error) {
      if (!isUnauthorized(error)) throw error;
      return await call(path, { ...options, accessToken: await this.#replace(accessToken) });
    }
  }

  /**
   * The token that takes the place of `rejected`. A refresh token works once, so calls that fail at the same time
   * share one refresh, and a call that fails late takes what an earlier one got.
   */
  async #replace(rejected: string | null): Promise<string> {
    if (this.#accessToken !== null && this.#accessToken !== rejected) return this.#accessToken;
    this.#refreshing ??= this.#refresh().finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  async #refresh(): Promise<string> {
    const refreshToken = this.#refreshToken;
    if (refreshToken === null) throw new SessionEnded();
    const body = { refresh_token: refreshToken };
    try {
      const pair = await call('/v1/auth/refresh', { method: 'POST', body, response: tokenPairSchema });
      // Logged out meanwhile: the new tokens must not bring the session back.
      if (this.#refreshToken !== refreshToken) throw new SessionEnded();
      return this.#keep(pair);
    } catch (error) {
      if (!isUnauthorized(error)) throw error;
      this.#forget();
      this.#onEnded();
      throw new SessionEnded({ cause: error });
    }
  }

  async #restore(): Promise<void> {
    if (this.#refreshToken !== null && !(await reclaimTab())) this.#forget();
  }

  get #refreshToken(): string | null {
    return sessionStorage.getItem(STORAGE_KEY);
  }

  #keep(pair: TokenPair): string {
    sessionStorage.setItem(STORAGE_KEY, pair.refresh_token);
    this.#accessToken = pair.access_token;
    return pair.access_token;
  }

  #forget(): void {
    sessionStorage.removeItem(STORAGE_KEY);
    this.#accessToken = null;
  }
}

export const session = new Session();

function isUnauthorized(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}
