import { z } from 'zod';

export const LAYERS = ['L1', 'L2', 'L3'] as const;
export type LayerName = (typeof LAYERS)[number];
export const placeSchema = z
  .enum([...LAYERS, 'SOURCE'])
  .meta({ id: 'Place', description: 'A layer, or the source of the key' });
export type Place = z.infer<typeof placeSchema>;
