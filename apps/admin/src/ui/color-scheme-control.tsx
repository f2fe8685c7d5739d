import { type MantineColorScheme, SegmentedControl, useMantineColorScheme, VisuallyHidden } from '@mantine/core';
import { IconDeviceDesktop, IconMoon, IconSun } from '@tabler/icons-react';

const SCHEMES = [
  { value: 'auto', name: 'As the system', Icon: IconDeviceDesktop },
  { value: 'light', name: 'Light', Icon: IconSun },
  { value: 'dark', name: 'Dark', Icon: IconMoon },
] as const satisfies readonly { value: MantineColorScheme; name: string; Icon: unknown }[];

export function ColorSchemeControl({ fullWidth = false }: { fullWidth?: boolean }) {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <SegmentedControl
      size="xs"
      withItemsBorders={false}
      fullWidth={fullWidth}
      aria-label="Colour scheme"
      value={colorScheme}
      onChange={setColorScheme}
      data={SCHEMES.map(({ value, name, Icon }) => ({
        value,
        label: (
          <span title={name} style={{ display: 'grid', placeItems: 'center', height: 20 }}>
            <Icon size={16} stroke={1.75} aria-hidden />
            <VisuallyHidden>{name}</VisuallyHidden>
          </span>
        ),
      }))}
    />
  );
}
