export * from './admin.js';
export * from './auth.js';
export * from './cache.js';
export * from './common.js';
export * from './config.js';
export * from './errors.js';
export * from './health.js';
export * from './permissions.js';
