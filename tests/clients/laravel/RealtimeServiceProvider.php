<?php

namespace App\Providers;

use Illuminate\Support\ServiceProvider;
use App\Services\RealtimeNotificationService;

class RealtimeServiceProvider extends ServiceProvider
{
    public function register()
    {
        $this->app->singleton(RealtimeNotificationService::class, function ($app) {
            return new RealtimeNotificationService();
        });
    }

    public function boot()
    {
        //
    }
}
