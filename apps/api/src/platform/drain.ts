import { Injectable } from '@nestjs/common';

/** Whether the process is on its way out: it finishes what it has and asks for no more. */
@Injectable()
export class Drain {
  draining = false;
}
