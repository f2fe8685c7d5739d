import 'reflect-metadata';
import { Controller, Get, Module, Post } from '@nestjs/common';
import { DiscoveryModule, NestFactory } from '@nestjs/core';
import { StartRefused } from '../platform/env.js';
import { Public, Requires } from './access.js';
import { DeclaredAccess } from './declared-access.js';

@Controller('guarded')
class GuardedController {
  @Get()
  @Requires('cache:read')
  read(): void {
    this.notARoute();
  }

  @Post()
  @Public()
  write(): void {
    this.notARoute();
  }

  notARoute(): void {
    // Nothing that could be called over HTTP.
  }
}

@Controller('forgotten')
class ForgottenController {
  @Get()
  open(): void {
    // Says nothing about who may call it.
  }

  @Get('declared')
  @Public()
  declared(): void {
    // Does.
  }
}

@Controller('inherited')
class InheritedController extends ForgottenController {}

function start(...controllers: (new () => object)[]): Promise<unknown> {
  @Module({ imports: [DiscoveryModule], controllers, providers: [DeclaredAccess] })
  class App {}
  return NestFactory.createApplicationContext(App, { logger: false, abortOnError: false }).then((app) => app.close());
}

test('an application whose routes all declare their access starts', async () => {
  await expect(start(GuardedController)).resolves.toBeUndefined();
});

test('an application with a route that declares none does not start, and says which', async () => {
  await expect(start(GuardedController, ForgottenController)).rejects.toEqual(
    new StartRefused(['ForgottenController.open: declares neither @Public() nor @Requires()']),
  );
});

test('an inherited route counts like any other', async () => {
  await expect(start(InheritedController)).rejects.toEqual(
    new StartRefused(['InheritedController.open: declares neither @Public() nor @Requires()']),
  );
});
