/**
 * Duplicating a browser tab copies its session storage, and with it the refresh token. As a refresh token works
 * once, the two tabs would end each other's session. So the tab that signed in holds a lock as long as it lives,
 * and a copy, which cannot get it, has to sign in by itself.
 */
const STORAGE_KEY = 'cache-system.tab';

/** A reload asks while the page before it may still be on its way out. */
const RELOAD_GRACE_MS = 2000;

// Browsers have locks in secure contexts only (https, localhost). Elsewhere a duplicated tab ends the session.
const locks = navigator.locks as LockManager | undefined;

/** For the tab that has just signed in. */
export async function claimNewTab(): Promise<void> {
  if (locks === undefined) return;
  sessionStorage.setItem(STORAGE_KEY, crypto.randomUUID());
  await reclaimTab();
}

/** For a tab that found a session in its storage: whether the session is its own, not a copy. */
export async function reclaimTab(): Promise<boolean> {
  const id = sessionStorage.getItem(STORAGE_KEY);
  if (locks === undefined || id === null) return true;
  return new Promise((resolve) => {
    locks
      .request(`${STORAGE_KEY}.${id}`, { signal: AbortSignal.timeout(RELOAD_GRACE_MS) }, async () => {
        resolve(true);
        await new Promise<never>(() => {
          // Never settles: the lock is held until the tab is gone.
        });
      })
      .catch(() => resolve(false));
  });
}
