import { AppShell, Box, Burger, Group, NavLink, ScrollArea, Text } from '@mantine/core';
import { useDisclosure, useMediaQuery } from '@mantine/hooks';
import { IconKey, IconLayoutDashboard } from '@tabler/icons-react';
import { Link, Outlet, useLocation, useNavigate, useRouter } from '@tanstack/react-router';
import { useEffect, useRef } from 'react';
import { Account } from '../features/session/account';
import { Logo } from '../ui/logo';
import { focusHeading } from '../ui/page-header';
import classes from './shell.module.css';

const PAGES = [
  { to: '/', label: 'Overview', Icon: IconLayoutDashboard },
  { to: '/api-keys', label: 'API keys', Icon: IconKey },
] as const;

/** Navigation around every page of a signed-in user. */
export function Shell() {
  const [menuOpen, menu] = useDisclosure(false);
  const narrow = useMediaQuery('(max-width: 47.99em)', false, { getInitialValueInEffect: false });
  const { pathname } = useLocation();
  const navigate = useNavigate();
  const { queryClient } = useRouter().options.context;
  useHeadingFocus(pathname);

  const logOut = async () => {
    await navigate({ to: '/login' });
    queryClient.clear();
  };

  return (
    <AppShell
      layout="alt"
      header={{ height: { base: 56, sm: 0 } }}
      navbar={{ width: 248, breakpoint: 'sm', collapsed: { mobile: !menuOpen } }}
      padding={0}
    >
      <a href="#content" className={classes.skip}>
        Skip to the content
      </a>
      <AppShell.Header hiddenFrom="sm" className={classes.header}>
        <Brand />
        <Burger opened={menuOpen} onClick={menu.toggle} size="sm" aria-label="Open the menu" aria-expanded={menuOpen} />
      </AppShell.Header>
      {/* A closed menu is only moved out of sight: without `inert` the Tab key would still get into it. */}
      <AppShell.Navbar className={classes.navbar} inert={narrow && !menuOpen}>
        <Group justify="space-between" className={classes.brand}>
          <Brand />
          <Burger opened onClick={menu.close} size="sm" hiddenFrom="sm" aria-label="Close the menu" />
        </Group>
        <AppShell.Section grow component={ScrollArea}>
          <nav aria-label="Pages">
            {PAGES.map(({ to, label, Icon }) => (
              <NavLink
                key={to}
                component={Link}
                to={to}
                label={label}
                active={pathname === to}
                leftSection={<Icon size={19} stroke={1.75} aria-hidden />}
                className={classes.link}
                onClick={menu.close}
              />
            ))}
          </nav>
        </AppShell.Section>
        <AppShell.Section className={classes.account}>
          <Account onLogout={logOut} />
        </AppShell.Section>
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1} className={classes.main}>
        <Box className={classes.content}>
          <Outlet />
        </Box>
      </AppShell.Main>
    </AppShell>
  );
}

function Brand() {
  return (
    <Group gap={10} wrap="nowrap">
      <Logo />
      <Text fw={650}>Cache System</Text>
    </Group>
  );
}

/** A new page takes the focus, so that screen readers read its heading; the first page leaves it to the browser. */
function useHeadingFocus(pathname: string): void {
  const previous = useRef(pathname);
  useEffect(() => {
    if (previous.current === pathname) return;
    previous.current = pathname;
    focusHeading();
  }, [pathname]);
}
