import type { CreatedApiKey } from '@cache-system/contracts';
import { Modal } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { useState } from 'react';
import { CreateForm } from './create-form';
import { CreatedKey } from './created-key';

export function CreateDialog({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const [created, setCreated] = useState<CreatedApiKey | null>(null);
  const narrow = useMediaQuery('(max-width: 36em)', false, { getInitialValueInEffect: false });
  // A key that is shown once must not go with a stray click or key press: only its button closes it then.
  const showsKey = created !== null;
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      onExitTransitionEnd={() => setCreated(null)}
      title={showsKey ? 'Your new API key' : 'Create an API key'}
      size="lg"
      centered={!narrow}
      fullScreen={narrow}
      withCloseButton={!showsKey}
      closeOnClickOutside={false}
      closeOnEscape={!showsKey}
    >
      {created === null ? (
        <CreateForm onCreated={setCreated} onCancel={onClose} />
      ) : (
        <CreatedKey apiKey={created} onDone={onClose} />
      )}
    </Modal>
  );
}
