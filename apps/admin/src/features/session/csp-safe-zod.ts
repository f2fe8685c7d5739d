import { config } from 'zod';

// Zod compiles schemas with `new Function`, and even its probe for that is reported as a violation of the content
// security policy. This has to run before the first schema is made, so main.tsx imports it first.
config({ jitless: true });
