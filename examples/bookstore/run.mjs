// `npm run bookstore`: installs and builds what is not up to date, then tells the story.
import '../../tools/setup/node-version.mjs';

// Imported only after the check above, and the story only when its packages are there.
void import('../../tools/setup/prepare.mjs').then(async ({ prepare }) => {
  const code = await prepare({ build: true });
  if (code !== 0) process.exit(code);
  await import('./story.mjs');
});
