import { type Feature, TIERS } from '@cache-system/contracts';
import {
  applyDecorators,
  type CanActivate,
  type ExecutionContext,
  Injectable,
  SetMetadata,
  UseGuards,
} from '@nestjs/common';
import { ApiExtension } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { InsufficientPermissions } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { caller } from './caller.js';

const FEATURE = Symbol('feature');

/** Refuses callers whose tier lacks what a route declares. It comes after `AccessGuard`, which knows who calls. */
@Injectable()
class FeatureGuard implements CanActivate {
  constructor(private readonly config: LiveConfig) {}

  /** @throws InsufficientPermissions */
  canActivate(context: ExecutionContext): boolean {
    const feature = Reflect.getMetadata(FEATURE, context.getHandler()) as Feature;
    const { tier } = caller(context.switchToHttp().getRequest<FastifyRequest>());
    const { tiers } = this.config.current.rate_limits;
    if (tiers[tier].features.includes(feature)) return true;
    const required = TIERS.find((each) => tiers[each].features.includes(feature)) ?? null;
    throw new InsufficientPermissions({ feature, tier, required_tier: required });
  }
}

/** Only callers of a tier with the feature may call the route. */
export const RequiresFeature = (feature: Feature) =>
  applyDecorators(SetMetadata(FEATURE, feature), UseGuards(FeatureGuard), ApiExtension('x-feature', feature));
