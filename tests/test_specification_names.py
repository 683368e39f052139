"""Every name of the specification has a home here.

The specification sketches classes, functions, helpers and features. `HOMES` says where each of them lives in this package: `module:name`, or `module:Class.name`, where a name of
an instance counts if its class takes it or sets it. Private helpers of the sketches point to the public thing that does their work. `LATER` are names that are still to come:
strict expected failures, so that the day one arrives this table must say so."""
import ast
import importlib
import inspect
import re

import numpy as np
import pytest

from conftest import shared

HOMES = {
    # Model architecture
    "DataPreprocessor": "preprocessing:DataPreprocessor",
    "DataPreprocessor.preprocess": "preprocessing:DataPreprocessor.preprocess",
    "DataPreprocessor.scaler": "preprocessing:DataPreprocessor.scale_",
    "DataPreprocessor.encoder": "preprocessing:encode",
    "DataPreprocessor.outlier_detector": "preprocessing:DataPreprocessor.forest_",
    "DataPreprocessor._normalize_income": "preprocessing:normalize_income",
    "DataPreprocessor._categorize_expenses": "preprocessing:spending_shares",
    "FeatureEngineer": "features:FeatureEngineer",
    "FeatureEngineer.create_features": "features:FeatureEngineer.create_features",
    "FeatureEngineer._calculate_income_stability": "features:income_features",
    "FeatureEngineer._get_income_percentile": "markets:Market.income_percentile",
    "FeatureEngineer._calculate_expense_variance": "features:expense_features",
    "FeatureEngineer._calculate_category_ratios": "features:expense_features",
    "FeatureEngineer._encode_age_group": "features:demographic_features",
    "FeatureEngineer._get_location_cost_index": "markets:Market.cost_index",
    "BudgetEnsembleModel": "ensemble:BudgetEnsembleModel",
    "BudgetEnsembleModel.fit": "ensemble:BudgetEnsembleModel.fit",
    "BudgetEnsembleModel.predict": "ensemble:BudgetEnsembleModel.predict",
    "BudgetEnsembleModel.random_forest": "ensemble:BudgetEnsembleModel.random_forest",
    "BudgetEnsembleModel.gradient_boosting": "ensemble:BudgetEnsembleModel.gradient_boosting",
    "BudgetEnsembleModel.neural_network": "ensemble:BudgetEnsembleModel.neural_network",
    "BudgetEnsembleModel.meta_model": "ensemble:BudgetEnsembleModel.weights_",
    "BudgetEnsembleModel._create_meta_features": "pooling:crps_matrix",
    # Data pipeline
    "DataCollector": "collection:DataCollector",
    "DataCollector.collect_training_data": "collection:DataCollector.collect_training_data",
    "DataCollector._load_enterprise_data": "collection:DataCollector.load_enterprise_data",
    "DataCollector._load_user_feedback_data": "collection:DataCollector.load_user_feedback_data",
    "DataCollector._load_synthetic_data": "collection:DataCollector.load_synthetic_data",
    "DataCollector._load_market_research_data": "collection:DataCollector.load_market_research_data",
    "DataCollector._merge_data_sources": "collection:merge_sources",
    "DataCollector._validate_data_quality": "validation:DataValidator.validate",
    "DataValidator": "validation:DataValidator",
    "DataValidator.validate": "validation:DataValidator.validate",
    "DataValidator.validation_rules": "validation:DataValidator.validation_rules",
    "DataValidator._validate_field": "validation:check_ranges",
    "DataAugmenter": "augmentation:DataAugmenter",
    "DataAugmenter.augment_training_data": "augmentation:DataAugmenter.augment_training_data",
    "DataAugmenter._add_income_noise": "augmentation:add_income_noise",
    "DataAugmenter._apply_seasonal_adjustments": "augmentation:apply_seasonal_adjustments",
    "DataAugmenter._apply_economic_variations": "augmentation:apply_economic_scenario",
    # Feature engineering
    "create_income_features": "features:FeatureEngineer.create_income_features",
    "create_income_features._calculate_stability_score": "features:income_features",
    "create_income_features._get_national_percentile": "markets:Market.income_percentile",
    "create_income_features._get_age_group_percentile": "markets:Market.income_percentile",
    "create_income_features._get_location_percentile": "markets:Market.income_percentile",
    "create_income_features._determine_career_stage": "features:income_features",
    "create_income_features._estimate_growth_potential": "features:growth_potential",
    "create_expense_features": "features:FeatureEngineer.create_expense_features",
    "create_expense_features._get_category_ratio": "features:expense_features",
    "create_expense_features._calculate_herfindahl_index": "features:item_summary",
    "create_expense_features._calculate_discretionary_ratio": "features:expense_features",
    "create_expense_features._calculate_essential_ratio": "features:expense_features",
    "create_demographic_features": "features:FeatureEngineer.create_demographic_features",
    "create_demographic_features._encode_age_group": "features:demographic_features",
    "create_demographic_features._determine_life_stage": "features:life_stage",
    "create_demographic_features._get_city_tier": "markets:resolve_location",
    "create_demographic_features._get_cost_index": "markets:Market.cost_index",
    "create_demographic_features._get_regional_indicator": "markets:resolve_location",
    "create_demographic_features._encode_risk_tolerance": "schema:RISK_TOLERANCES",
    "create_demographic_features._categorize_savings_goal": "features:demographic_features",
    "create_demographic_features._encode_investment_experience": "schema:INVESTMENT_EXPERIENCES",
    "create_demographic_features._calculate_financial_maturity": "features:financial_maturity",
    # Training
    "ModelTrainer": "training:ModelTrainer",
    "ModelTrainer.train": "training:ModelTrainer.train",
    "ModelTrainer.config": "training:ModelTrainer.config",
    "ModelTrainer.feature_engineer": "training:ModelTrainer.feature_engineer",
    "ModelTrainer.data_preprocessor": "training:ModelTrainer.data_preprocessor",
    "ModelTrainer.model": "training:ModelTrainer.model",
    "ModelTrainer._calculate_validation_score": "training:ModelTrainer.train",
    "ModelTrainer._optimize_hyperparameters": "model_selection:optimize_hyperparameters",
    "ModelTrainer._get_feature_importance": "training:feature_importance",
    "optimize_hyperparameters": "model_selection:optimize_hyperparameters",
    "optimize_hyperparameters.objective": "model_selection:optimize_hyperparameters",
    "validate_model": "cross_validation:validate_model",
    "validate_model._calculate_budget_adherence_score": "metrics:budget_adherence_rate",
    # Evaluation
    "ModelEvaluator": "evaluation:ModelEvaluator",
    "ModelEvaluator.evaluate_model": "evaluation:ModelEvaluator.evaluate_model",
    "ModelEvaluator.get_latest_metrics": "evaluation:ModelEvaluator.get_latest_metrics",
    "ModelEvaluator._calculate_adherence_rate": "metrics:budget_adherence_rate",
    "ModelEvaluator._calculate_budget_adherence_rate": "metrics:budget_adherence_rate",
    "ModelEvaluator._calculate_savings_achievement": "metrics:savings_achievement_rate",
    "ModelEvaluator._estimate_satisfaction": "metrics:satisfaction",
    "ModelEvaluator._calculate_demographic_parity": "metrics:demographic_parity",
    "ModelEvaluator._calculate_equalized_odds": "metrics:equalized_odds",
    # Experiments
    "ABTestFramework": "experiments:ABTestFramework",
    "ABTestFramework.run_ab_test": "experiments:ABTestFramework.run_ab_test",
    "ABTestFramework.control_model": "experiments:ABTestFramework.control_model",
    "ABTestFramework.treatment_model": "experiments:ABTestFramework.treatment_model",
    "ABTestFramework._load_control_model": "experiments:ABTestFramework.control_model",
    "ABTestFramework._load_treatment_model": "experiments:ABTestFramework.treatment_model",
    "ABTestFramework._random_assignment": "assignment:assign",
    "ABTestFramework._track_user_behavior": "behavior:SimulatedBehavior.observe",
    "ABTestFramework._analyze_ab_results": "ab_analysis:analyze",
    # The main job
    "BudgetOptimizer": "budgeting:BudgetOptimizer",
    "BudgetOptimizer.create_optimized_budget": "budgeting:BudgetOptimizer.create_optimized_budget",
    "validate_input_data": "schema:parse",
    # The service
    "optimize_budget": "api:optimize_budget",
    "analyze_spending": "api:analyze_spending",
    "get_model_performance": "api:get_model_performance",
    "model_health_check": "api:model_health_check",
    "BudgetRequest": "messages:BudgetRequest",
    "BudgetResponse": "messages:BudgetResponse",
    "SpendingAnalysisRequest": "messages:SpendingAnalysisRequest",
    "SpendingAnalysisResponse": "messages:SpendingAnalysisResponse",
    "ModelPerformanceResponse": "messages:ModelPerformanceResponse",
    "HealthCheckResponse": "messages:HealthCheckResponse",
    "measure_prediction_latency": "service:measure_prediction_latency",
    "is_loaded": "budgeting:BudgetOptimizer.is_loaded",
    "is_ready": "service:check_health",
    "SpendingAnalyzer": "spending:SpendingAnalyzer",
    "SpendingAnalyzer.analyze_patterns": "spending:SpendingAnalyzer.analyze_patterns",
    # Inference
    "ModelOptimizer": "inference:ModelOptimizer",
    "ModelOptimizer.optimize_for_production": "inference:ModelOptimizer.optimize_for_production",
    "ModelOptimizer._quantize_model": "inference:ModelOptimizer.optimize_for_production",
    "ModelOptimizer._select_important_features": "inference:ModelOptimizer.optimize_for_production",
    "ModelOptimizer._compress_model": "inference:ModelOptimizer.optimize_for_production",
    "ModelOptimizer._add_prediction_cache": "inference:ModelOptimizer.optimize_for_production",
    "ModelOptimizer._add_prediction_cache.cached_predict": "inference:ModelOptimizer.optimize_for_production",
    "InferenceOptimizer": "inference:InferenceOptimizer",
    "InferenceOptimizer.optimize_prediction": "inference:InferenceOptimizer.optimize_prediction",
    "InferenceOptimizer.batch_processor": "inference:InferenceOptimizer.batch_processor",
    "InferenceOptimizer.feature_cache": "inference:InferenceOptimizer.feature_cache",
    "InferenceOptimizer._hash_features": "inference:FeatureCache",
    "InferenceOptimizer._fast_predict": "inference:InferenceOptimizer.optimize_prediction",
    "BatchProcessor": "inference:BatchProcessor",
    "BatchProcessor.process_batch": "inference:BatchProcessor.process_batch",
    "FeatureCache": "inference:FeatureCache",
    "FeatureCache.get": "inference:FeatureCache.get",
    "FeatureCache.set": "inference:FeatureCache.set",
    # Troubleshooting
    "diagnose_model_loading": "installation:diagnose_model_loading",
    "diagnose_prediction_errors": "troubleshooting:diagnose_prediction_errors",
    "diagnose_latency_issues": "troubleshooting:diagnose_latency_issues",
    "create_sample_request": "troubleshooting:create_sample_request",
}

LATER = {
}

FEATURES = {
    "create_features": ["income_stability", "income_percentile", "expense_variance", "category_ratios", "age_group", "location_index"],
    "create_income_features": ["monthly_income", "annual_income", "income_stability_score", "income_percentile_national", "income_percentile_age_group", "income_percentile_location",
                               "career_stage", "income_growth_potential", "log_income", "sqrt_income"],
    "create_expense_features": ["total_monthly_expenses", "expense_count", "food_ratio", "transport_ratio", "entertainment_ratio", "expense_variance", "expense_skewness",
                                "expense_concentration", "daily_expenses", "weekly_expenses", "monthly_expenses", "discretionary_ratio", "essential_ratio"],
    "create_demographic_features": ["age", "age_squared", "age_group", "life_stage", "location_tier", "cost_of_living_index", "regional_economic_indicator", "risk_tolerance_encoded",
                                    "savings_goal_category", "investment_experience", "income_to_age_ratio", "financial_maturity_score"],
}

RESULTS = {
    "validate_model": ["test_mse", "test_mae", "test_r2", "budget_adherence"],
    "ModelEvaluator.evaluate_model": ["mse", "mae", "r2", "rmse", "budget_adherence_rate", "savings_achievement_rate", "user_satisfaction_score", "demographic_parity", "equalized_odds"],
}

SEARCHED = ["random_forest__n_estimators", "random_forest__max_depth", "gradient_boosting__learning_rate", "gradient_boosting__n_estimators", "neural_network__hidden_layer_sizes"]

HOUSEHOLD = {"monthly_income": 5200, "age": 34, "location": "Austin, TX"}, [{"category": "food_dining", "amount": 165, "frequency": "weekly"}]


def find(home):
    "The thing at `module:Class.name`; a name of an instance is found in its class's parameters or in what the class's code sets."
    module, _, path = home.partition(":")
    thing = importlib.import_module(f"smart_money.{module}")
    for name in path.split("."):
        if not hasattr(thing, name) and inspect.isclass(thing) and (name in inspect.signature(thing).parameters or re.search(rf"\bself\.{name}\b.*=", inspect.getsource(thing))): return name
        thing = getattr(thing, name)
    return thing


@pytest.mark.parametrize("name", HOMES)
def test_has_a_home(name): assert find(HOMES[name]) is not None


@pytest.mark.parametrize("name", LATER)
@pytest.mark.xfail(strict=True, raises=(ImportError, AttributeError), reason="comes with a later floor")
def test_is_still_to_come(name): find(LATER[name])


@pytest.fixture(scope="module")
def features():
    from smart_money.features import FeatureEngineer
    user, expenses = HOUSEHOLD
    engineer = FeatureEngineer()
    return {"create_features": engineer.create_features(user, expenses), "create_income_features": engineer.create_income_features(user),
            "create_expense_features": engineer.create_expense_features(expenses), "create_demographic_features": engineer.create_demographic_features(user)}


@pytest.mark.parametrize("function, name", [(f, n) for f, names in FEATURES.items() for n in names])
def test_feature_has_its_name(features, function, name): assert name in features[function]


@pytest.fixture(scope="module")
def results():
    "What the functions give on forty made rows; a training run is read from its declaration, since it takes long."
    from sklearn.linear_model import LinearRegression
    from smart_money.evaluation import ModelEvaluator
    from smart_money.model_selection import validate_model
    rng = np.random.default_rng(0)
    X, households, periods = rng.random((40, 2)), np.arange(40) // 5, np.arange(40) % 5
    y = 100 * (1 + X.sum(1))
    return {"validate_model": validate_model(LinearRegression(), X, y, groups=households, periods=periods, cv=2),
            "ModelEvaluator.evaluate_model": ModelEvaluator().evaluate_model(LinearRegression().fit(X, y), X, y, n_resamples=10)}


@pytest.mark.parametrize("function, name", [(f, n) for f, names in RESULTS.items() for n in names])
def test_result_has_its_name(results, function, name): assert name in results[function]


@pytest.mark.parametrize("name", ["model", "validation_score", "feature_importance"])
def test_training_run_has_its_name(name):
    returned = inspect.signature(find(HOMES["ModelTrainer.train"])).return_annotation
    assert name in (getattr(returned, "__dataclass_fields__", None) or inspect.getsource(inspect.getmodule(find(HOMES["ModelTrainer"]))))


@pytest.mark.parametrize("name", SEARCHED)
def test_hyperparameter_is_searched(name):
    from smart_money.model_selection import specification_space
    assert name in specification_space()


class Names(ast.NodeVisitor):
    "Collects what a sketch defines and what it takes for granted, each under the class or function that it stands in."
    ROLES = {"optimizer": "BudgetOptimizer", "analyzer": "SpendingAnalyzer", "evaluator": "ModelEvaluator", "batch_processor": "BatchProcessor", "feature_cache": "FeatureCache"}

    def __init__(self): self.scope, self.names, self.keys, self.types = [], set(), {}, set()

    def define(self, node):
        self.scope.append(node.name)
        if node.name != "__init__": self.names.add(".".join(self.scope))
        self.generic_visit(node)
        self.scope.pop()

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = define

    def owner(self):
        "The class that the code stands in, or else its function."
        return self.scope[0] if self.scope and (self.scope[0][0].isupper()) else ".".join(self.scope[:1])

    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name) and node.value.id == "self" and self.scope: self.names.add(f"{self.owner()}.{node.attr}")
        self.generic_visit(node)

    def visit_arg(self, node):
        if isinstance(node.annotation, ast.Name): self.names.add(node.annotation.id)

    def visit_Call(self, node):
        f = node.func
        if isinstance(f, ast.Name): self.types.add(f.id)
        if isinstance(f, ast.Attribute):
            role = f.value.id if isinstance(f.value, ast.Name) else getattr(f.value, "attr", "")
            if f.attr in ("is_loaded", "is_ready"): self.names.add(f.attr)
            elif role in self.ROLES: self.names.add(f"{self.ROLES[role]}.{f.attr}")
        self.generic_visit(node)

    def visit_Dict(self, node):
        for k in node.keys:
            if isinstance(k, ast.Constant): self.keys.setdefault(".".join(self.scope), []).append(k.value)
        self.generic_visit(node)

    def visit_Subscript(self, node):
        if isinstance(node.ctx, ast.Store) and isinstance(node.slice, ast.Constant): self.keys.setdefault(".".join(self.scope), []).append(node.slice.value)
        self.generic_visit(node)


OTHERS = {  # of the standard library and of libraries, and the sketches' shared base
    "StandardScaler", "LabelEncoder", "IsolationForest", "RandomForestRegressor", "GradientBoostingRegressor", "MLPRegressor", "LinearRegression", "TimeSeriesSplit", "HTTPException",
    "all", "cross_val_score", "cross_validate", "fmin", "len", "lru_cache", "make_scorer", "mean_absolute_error", "mean_squared_error", "open", "r2_score", "range", "str", "sum",
    "train_test_split", "__import__"}


def test_the_list_is_the_specification():
    text = shared("spec", "budgeting_ml_model.md").read_text(encoding="utf-8")
    found = Names()
    for sketch in re.findall(r"```python\n(.*?)```", text, re.S): found.visit(ast.parse(sketch))
    listed = HOMES.keys() | LATER.keys()
    missing = (found.names | (found.types - OTHERS)) - listed
    assert not missing, f"the specification also names {sorted(missing)}"
    assert not (listed - found.names - found.types), f"not in the specification: {sorted(listed - found.names - found.types)}"
    for function, names in FEATURES.items():
        assert found.keys[f"FeatureEngineer.{function}" if function == "create_features" else function] == names
    for function, names in RESULTS.items(): assert set(names) <= set(found.keys[function])
    assert set(SEARCHED) == {k for k in found.keys["optimize_hyperparameters"] if "__" in k}
