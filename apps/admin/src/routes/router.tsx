import { Center, Loader } from '@mantine/core';
import { QueryClient } from '@tanstack/react-query';
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from '@tanstack/react-router';
import { identityQuery } from '../features/session/identity';
import { ApiError } from '../features/session/http';
import { session, SessionEnded } from '../features/session/session';
import { FailurePage, NotFoundPage } from './failure';
import { LoginPage } from './login';
import { Shell } from './shell';

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // A page on this machine works without a network.
      networkMode: 'always',
      retry: (failures, error) => failures < 2 && !(error instanceof ApiError) && !(error instanceof SessionEnded),
    },
    mutations: { networkMode: 'always' },
  },
});

interface Context {
  queryClient: QueryClient;
}

/** The pages to come back to after a login. */
const NEXT = ['/', '/api-keys'] as const;
type Next = (typeof NEXT)[number];

const root = createRootRouteWithContext<Context>()({ notFoundComponent: NotFoundPage });

const login = createRoute({
  getParentRoute: () => root,
  path: '/login',
  validateSearch: (search: Record<string, unknown>): { next?: Next; ended?: true } => {
    const next = NEXT.find((path) => path === search['next']);
    return { ...(next !== undefined && { next }), ...(search['ended'] === true && { ended: true }) };
  },
  beforeLoad: async ({ search }) => {
    if (await session.isOpen()) redirect({ to: search.next ?? '/', replace: true, throw: true });
  },
  component: LoginPage,
});

const signedIn = createRoute({
  getParentRoute: () => root,
  id: 'signed-in',
  beforeLoad: async ({ location }) => {
    if (!(await session.isOpen())) redirectToLogin(location.pathname, false);
  },
  loader: async ({ context, location }) => {
    try {
      await context.queryClient.query({ ...identityQuery, staleTime: 'static' });
    } catch (error) {
      if (!(error instanceof SessionEnded)) throw error;
      redirectToLogin(location.pathname, true);
    }
  },
  component: Shell,
});

function redirectToLogin(from: string, ended: boolean): void {
  const next = NEXT.find((path) => path === from && path !== '/');
  redirect({ to: '/login', search: { ...(next && { next }), ...(ended && { ended }) }, replace: true, throw: true });
}

const overview = createRoute({
  getParentRoute: () => signedIn,
  path: '/',
  component: lazyRouteComponent(() => import('./overview'), 'OverviewPage'),
});

const apiKeys = createRoute({
  getParentRoute: () => signedIn,
  path: '/api-keys',
  component: lazyRouteComponent(() => import('./api-keys'), 'ApiKeysPage'),
});

export const router = createRouter({
  routeTree: root.addChildren([login, signedIn.addChildren([overview, apiKeys])]),
  basepath: '/admin',
  context: { queryClient },
  defaultPreload: 'intent',
  defaultErrorComponent: FailurePage,
  defaultPendingComponent: () => (
    <Center h="100dvh">
      <Loader aria-label="Loading" />
    </Center>
  ),
});

session.onEnded(() => {
  const next = NEXT.find((path) => path === router.state.location.pathname && path !== '/');
  void router
    .navigate({ to: '/login', search: { ended: true, ...(next && { next }) }, replace: true })
    .then(() => queryClient.clear());
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
