import { ApiError } from '../session/http';

/** The reasons in `details.errors[]` by the field of the form that each is about, and those that are about none. */
export function fieldErrors<Field extends string>(
  error: unknown,
  fields: readonly Field[],
): { byField: Partial<Record<Field, string>>; others: string[] } {
  const byField: Partial<Record<Field, string>> = {};
  const others: string[] = [];
  for (const { path, reason } of reasons(error)) {
    // The path of an item, `permissions.0` or `/permissions/0`, is about the field that holds it.
    const field = fields.find((name) => path.split(/[./[\]]+/).includes(name));
    if (field === undefined) others.push(path === '' ? reason : `${path}: ${reason}`);
    else byField[field] ??= capitalize(reason);
  }
  return { byField, others };
}

function reasons(error: unknown): { path: string; reason: string }[] {
  if (!(error instanceof ApiError) || !Array.isArray(error.details['errors'])) return [];
  return error.details['errors'].filter(isReason);
}

function isReason(value: unknown): value is { path: string; reason: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Record<string, unknown>)['path'] === 'string' &&
    typeof (value as Record<string, unknown>)['reason'] === 'string'
  );
}

const capitalize = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
