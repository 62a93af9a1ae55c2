// One hub under pm2: `pm2 start ecosystem.config.cjs`. See docs/deploy.md.
module.exports = {
    apps: [
        {
            name: 'hubbub',
            script: '/usr/local/bin/hubbub',
            args: 'serve --config /etc/hubbub/config.toml',
            // The program is a binary, not a script of Node. A hub is one process: pm2's cluster mode does not apply.
            interpreter: 'none',
            exec_mode: 'fork',
            instances: 1,
            cwd: '/var/lib/hubbub',
            env: {HUBBUB_SERVER__DATA_DIR: '/var/lib/hubbub'},
            // pm2 stops with SIGINT, on which the hub drains. Above server.shutdown_secs (15); after it, pm2 kills.
            kill_timeout: 20_000,
            // A hub with a wrong configuration ends at once with status 1; pm2 tries it again some times.
            min_uptime: '5s',
            max_restarts: 10,
            restart_delay: 2_000,
        },
    ],
};
