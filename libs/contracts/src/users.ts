import { z } from 'zod';
import { timestampSchema } from './common.js';
import { ROLES } from './permissions.js';

const MIN_PASSWORD_LENGTH = 12;

/** A new password. Its length counts and nothing else (NIST SP 800-63B, section 5.1.1.2). */
const passwordSchema = z.string().min(MIN_PASSWORD_LENGTH).max(1024).meta({ example: 'correct horse battery staple' });

export const changePasswordRequestSchema = z
  .strictObject({
    current_password: z.string().min(1).max(1024).meta({ example: 'the old horse has no battery' }),
    new_password: passwordSchema,
  })
  .refine((body) => body.new_password !== body.current_password, {
    path: ['new_password'],
    error: 'must not be the current password',
  })
  .meta({ id: 'ChangePasswordRequest' });
export type ChangePasswordRequest = z.infer<typeof changePasswordRequestSchema>;

export const createUserRequestSchema = z
  .strictObject({
    email: z.email().max(254).meta({ example: 'ada@example.com' }),
    role: z.enum(ROLES),
    password: passwordSchema.optional().meta({ description: 'Left out: one is made, and shown in the response alone' }),
  })
  .meta({ id: 'CreateUserRequest' });
export type CreateUserRequest = z.infer<typeof createUserRequestSchema>;

export const changeUserRequestSchema = z
  .strictObject({
    role: z.enum(ROLES).optional().meta({ example: 'operator' }),
    disabled: z.boolean().optional().meta({ description: '`true` ends all sessions of the user' }),
    password: passwordSchema.nullable().optional().meta({
      description: 'A new one, which ends all sessions of the user; null: one is made, and shown in the response alone',
    }),
  })
  .refine((body) => Object.values(body).some((value) => value !== undefined), 'must change something')
  .meta({ id: 'ChangeUserRequest' });
export type ChangeUserRequest = z.infer<typeof changeUserRequestSchema>;

export const userSchema = z
  .object({
    id: z.string().meta({ example: 'usr_0c1d2e3f4a5b6c7d8e9f' }),
    email: z.string(),
    role: z.enum(ROLES),
    disabled: z.boolean(),
    created_at: timestampSchema,
    last_login_at: timestampSchema.nullable(),
  })
  .meta({ id: 'User' });
export type UserView = z.infer<typeof userSchema>;

export const userWithPasswordSchema = userSchema
  .extend({ password: z.string().optional().meta({ description: 'Shown this once, where one was made' }) })
  .meta({ id: 'UserWithPassword' });
export type UserWithPassword = z.infer<typeof userWithPasswordSchema>;

export const userQuerySchema = z.strictObject({
  role: z.enum(ROLES).optional(),
  disabled: z.enum(['true', 'false'], { error: 'must be true or false' }).optional(),
  email: z.string().min(1).max(254).optional().meta({ description: 'A part of the e-mail address' }),
  cursor: z.string().max(512).optional().meta({ description: '`cursor` of the page before' }),
  limit: z.coerce.number().int().min(1).max(100).default(50),
});
export type UserQuery = z.infer<typeof userQuerySchema>;

export const userListSchema = z
  .object({
    users: z.array(userSchema).meta({ description: 'In the order of their e-mail addresses' }),
    cursor: z.string().nullable().meta({ description: 'For the next page; null on the last one' }),
  })
  .meta({ id: 'UserList' });
export type UserList = z.infer<typeof userListSchema>;
