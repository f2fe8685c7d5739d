import react from '@vitejs/plugin-react';
import { defaultClientConditions, defineConfig } from 'vite';

const API = 'http://127.0.0.1:3000';

export default defineConfig({
  base: '/admin/',
  plugins: [react()],
  // `source`: the contracts come from their TypeScript, so that the app never runs against a stale build of them.
  resolve: { conditions: ['source', ...defaultClientConditions] },
  server: { proxy: { '/v1': API, '/health': API } },
  // No data: URLs, which the content security policy of the API does not allow.
  build: { assetsInlineLimit: 0, chunkSizeWarningLimit: 750 },
});
